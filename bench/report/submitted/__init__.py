"""What was submitted by others, before any of it is run again: what contradicts itself, what stands out."""
