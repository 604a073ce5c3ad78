"""The bundled table of models and prices, made from what the providers' packages ship: `make models`."""
