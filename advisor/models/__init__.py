"""Architecture facts of models: parameters by component, KV-cache bytes, memory to serve them."""
