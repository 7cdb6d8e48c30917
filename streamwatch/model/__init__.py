"""The scene model: PaDiM (Defard et al. 2020, arXiv 2011.08785) on a truncated, frozen CNN."""
