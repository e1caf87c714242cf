"""The network: a recurrent layer that corrects a mix of naive forecasts."""
