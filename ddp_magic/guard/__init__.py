"""The guard process: watches, kills and pumps for one worker group. Standard library only."""
