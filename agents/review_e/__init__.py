"""review-e: reads a change and says what it thinks of it. One reviewer among others; who they are a repository says.

request    pure: what is asked, and where that stands in the log
change     pure: a change as it is shown, each line by its number
prompt     pure: what a model is told
answer     pure: what it says, held to the form and to the change
look       the change read from git, unless it is too large
judge      asking the model
verdict    pure: what is said of a request, in the words of the log
learning   what is learned of a review, beside the others
reviewer   one request, to its one answer
role       being a replica of the role
"""

from agents.review_e.reviewer import Identity, ReviewE
from agents.review_e.role import by_gateways, identity_of, run_review_e

__all__ = ["Identity", "ReviewE", "by_gateways", "identity_of", "run_review_e"]
