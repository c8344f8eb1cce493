"""The paper's method behind the notebooks, a folder a chapter. Read `experiment.py` first: it is the paper on one page.

    experiment.py   Sec. 4-5    prepare, train, transfer, score, save
    data/           Sec. 5.1    the catalog, raw and cleaned flows, splits, the selected features, stand-ins
    network/        Sec. 4      layers, recipe, training, transfer
    results/        Sec. 5.2    scores, finished runs, the paper's tables, the comparison, the page of all runs
    export/         Sec. 5.3    the model for the Pi: conversion, int8, cost, card
    testbed/        Sec. 5.3-4  the recorded smart home, replayed through the exported model
    audit/          beyond      what the numbers hide, one check a function
    grid/           many runs   every combination of datasets, tasks, seeds and protocols
    notebooks.py    the notebooks, run by their numbers, and the command papermill
    common/         for all     errors, whole files, progress bars, the style of figures and tables

A chapter's `show.py` makes the tables and figures of its notebook; `__main__.py` is `python -m tlids_helpers.CHAPTER`.
Imports go one way: grid, audit, testbed, notebooks -> export -> experiment -> results -> data, network -> common.
"""
