"""What the notebooks use, and nothing else: checks of exercises (`checks`), drawings (`draw`), findings (`claims`),
sliders (`widgets`).

May import: plots, training, evaluation, pretrained, the paper's parts, and the rooms below them.
"""
