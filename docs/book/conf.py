"""How Sphinx makes the book. `build.py` beside this file gathers what it is made of, and runs it."""

project = "minunclip"
author = copyright = "minunclip contributors"
extensions = ["myst_nb"]
html_theme = "sphinx_book_theme"
html_title = "DALL·E 2 from the ground up"
html_theme_options = {"show_toc_level": 2, "use_download_button": True, "use_fullscreen_button": False,
                      "show_navbar_depth": 1, "navbar_persistent": []}  # fmt: skip
html_context = {"default_mode": "auto"}
html_favicon = "icon.svg"
html_static_path = ["_static"]
html_css_files = ["book.css"]
html_copy_source = True
html_show_sourcelink = False

# The notebooks are shown as they were committed: their outputs, and the state of their widgets.
nb_execution_mode = "off"
nb_merge_streams = True
myst_enable_extensions = ["amsmath", "dollarmath"]
myst_heading_anchors = 4
suppress_warnings = ["myst.header", "mystnb.unknown_mime_type"]     # a notebook may begin with a small heading

# Everything from the book's own folder, nothing from the web.
nb_ipywidgets_js = {"require.js": {}, "widgets.js": {}, "html-manager/embed-amd.js": {}}
mathjax_path = "mathjax/tex-mml-chtml.js"
