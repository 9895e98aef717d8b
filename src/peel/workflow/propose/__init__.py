"""``peel propose``: from what an author has to a payload that is known to work, or the reasons why it does not."""
