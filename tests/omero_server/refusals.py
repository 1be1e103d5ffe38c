"""Why a call is refused; each reason becomes one exception of OMERO's on the wire."""


class Denied(Exception):
    """The caller may not do that."""


class MixedGroups(Denied):
    """Objects of two groups cannot refer to each other."""


class NotKnown(Exception):
    """The stand-in has not learnt this; a guess would be worse."""


class BadUse(Exception):
    """The caller holds the interface wrongly: an argument out of range, a call out of order."""


class BadData(Exception):
    """What was sent cannot be kept as it is."""


class Stale(Exception):
    """Somebody else has written the object since the client read it."""
