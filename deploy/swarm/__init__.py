"""`make swarm-deploy`: the same images on the machines of a Docker Swarm. Removable."""
