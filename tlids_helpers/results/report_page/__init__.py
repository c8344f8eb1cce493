"""All runs as one HTML page that needs no network: `python -m tlids_helpers.results.report_page`.

`page.build` collects what lies under a runs folder, `parts` says what the page tells, `blocks` what it is made of,
`executed` reads the executed notebooks, and `page.html.j2` with `page.css` is how it looks.
"""
