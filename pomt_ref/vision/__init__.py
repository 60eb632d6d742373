"""Real input: a small vision transformer on handwritten digits, pruned, measured and drawn.

Import the submodules themselves: ``vit`` and ``training`` need torch only, ``digits`` needs scikit-learn (extra
``vision``), ``pictures`` needs matplotlib (extra ``plots``).
"""
