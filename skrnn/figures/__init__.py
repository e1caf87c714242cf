"""Figures: the tables that a plot draws, and the axes on which it draws them."""
