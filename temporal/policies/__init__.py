"""Small rules that decide what to read, what to skip and when to halt."""

from . import estimators as estimators
from . import halt as halt
from . import keep as keep
from . import read as read
from . import reinforce as reinforce
from . import select as select
from . import skip as skip
