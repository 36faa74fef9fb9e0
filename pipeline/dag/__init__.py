"""Parts of the pipeline's graph: TFMA's configuration and resolvers."""
