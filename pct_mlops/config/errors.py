"""The one error that a person sees."""


class PctError(Exception):
    """Something a user can mend: the message is one sentence that says what to do.

    The command line prints it on stderr and exits with code 2; anything else is a bug and shows a traceback.
    """
