"""Thin helpers for the notebooks: plain functions, one idea a module, data flowing one way."""
