"""The bridge (연결기): rows that another system sends one by one, put together into frames at the edge of the platform."""
