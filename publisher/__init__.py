"""The publisher: takes messages over HTTP and publishes them through one Redis script."""
