"""The smart home of the paper's Section 5.3 (Fig. 7) in network namespaces, and what is done to it."""
