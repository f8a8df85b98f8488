"""The Kubernetes manifests: valid for three minors, and every name in them means something."""
