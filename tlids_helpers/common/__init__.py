"""What every chapter uses: errors, whole files, progress bars, the style of figures and tables."""
