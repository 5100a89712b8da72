"""Operations of ops/random.py have no counterpart with the same bits."""

TWINS: dict = {}
LONERS = {"dropout"}
