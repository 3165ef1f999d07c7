"""The studies that ship, a YAML file each: `rsbench list sweeps`."""
