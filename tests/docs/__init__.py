"""Tests that hold the pages to what the program does."""
