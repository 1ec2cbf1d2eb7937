"""Made-up worlds: the generated sample day; later the backtest, the fault simulation and the sandbox."""
