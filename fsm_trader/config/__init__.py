"""From YAML files to frozen, typed settings; every fault at once, with file, line and path."""
