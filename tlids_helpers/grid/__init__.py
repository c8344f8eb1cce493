"""Many runs: every combination of datasets, tasks, seeds and protocols, on Dask."""
