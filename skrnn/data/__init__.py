"""Series and covariates: pandas read into arrays on one timeline, and scaled."""
