"""How good a model is on a data set: one way for all forms (design decision D2). A library for stages."""
