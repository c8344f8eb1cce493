"""What the numbers hide: one check a module, each a table and a sentence in counts (notebook 07).

Arp et al., USENIX Security 2022; Engelen et al. 2021; Liu et al. 2022; D'hooge et al. 2022; Flood et al., EuroS&P 2024.
"""
