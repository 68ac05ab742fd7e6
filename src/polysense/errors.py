"""The one kind of error that is meant for the person at the keyboard."""


class PolysenseError(Exception):
    """What is wrong, where, and what to do about it, in one line.

    The command line prints the message without a traceback and ends with status 2.
    """
