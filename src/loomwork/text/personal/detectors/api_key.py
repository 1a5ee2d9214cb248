"""Keys and tokens of services, known by their prefixes and lengths, and JSON web tokens.

Placeholders are left: a key whose random part has a low entropy (xxxxxxxx, 1234567890), or holds a word such as
EXAMPLE.

Source: the services' own pages on their token formats (AWS IAM unique identifiers; GitHub, Behind GitHub's new
authentication token formats, 2021; GitLab token prefixes; Slack token types; Stripe API keys; PyPI secret reporting),
RFC 7519 for JWT.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from loomwork.text.personal.shapes import entropy_bits

PREFILTER = (
    "AKIA|ASIA|AIza|gh[oprsu]_|github_pat_|glpat-|xox[abeoprs]-|hooks.slack.com|[rs]k_(?:live|test)_|whsec_|GOCSPX-|ya29[.]|"
    "sk-|hf_|npm_|pypi-A|SG[.]|dop_v1_|shp(?:at|ca|pa|ss)_|AccountKey=|:AA|eyJ|AGE-SECRET-KEY-|lin_api_|gsk_|dckr_pat_"
)
LEFT = ("example key", r"\bA[KS]IA[A-Z0-9]{9}EXAMPLE\b")  # AWS writes it in its own pages
PRIORITY = 8
ALNUM, URL = "[A-Za-z0-9]", "[A-Za-z0-9_-]"
# The first group is the part that a machine made: its entropy is looked at.
FORMS = (
    r"A[KS]IA([A-Z2-7]{16})",  # Amazon Web Services
    rf"gh[oprsu]_({ALNUM}{{36,251}})",  # GitHub
    r"github_pat_([A-Za-z0-9]{22}_[A-Za-z0-9]{59})",
    rf"glpat-({URL}{{20,64}})",  # GitLab
    rf"xox[abeoprs]-((?:[0-9]+-){{0,3}}{ALNUM}[A-Za-z0-9-]{{10,250}})",  # Slack
    r"https://hooks\.slack\.com/(?:services|workflows)/([A-Za-z0-9+/]{40,60})",
    rf"[rs]k_(?:live|test)_({ALNUM}{{16,247}})",  # Stripe
    rf"whsec_({ALNUM}{{32,64}})",
    rf"AIza({URL}{{35}})",  # Google
    rf"GOCSPX-({URL}{{28}})",
    rf"ya29\.({URL}{{30,400}})",
    rf"sk-(?:proj|svcacct|admin|ant-[a-z0-9]{{1,12}}|or-v1)-({URL}{{24,250}})",  # OpenAI, Anthropic, OpenRouter
    rf"sk-({ALNUM}{{20}}T3BlbkFJ{ALNUM}{{20}}|{ALNUM}{{48}}|[0-9a-f]{{32}})",
    r"hf_([A-Za-z0-9]{34,40})",  # Hugging Face
    rf"npm_({ALNUM}{{36}})",
    rf"pypi-(AgEIcHlwaS5vcmc{URL}{{50,250}})",
    rf"SG\.({URL}{{22}}\.{URL}{{43}})",  # SendGrid
    r"dop_v1_([0-9a-f]{64})",  # DigitalOcean
    r"shp(?:at|ca|pa|ss)_([0-9a-fA-F]{32})",  # Shopify
    r"AccountKey=([A-Za-z0-9+/]{86}==)",  # Azure storage
    rf"[0-9]{{8,10}}:(AA{URL}{{33}})",  # Telegram
    r"AGE-SECRET-KEY-(1[0-9A-Z]{58})",
    rf"lin_api_({ALNUM}{{40}})",  # Linear
    rf"gsk_({ALNUM}{{52}})",  # Groq
    rf"dckr_pat_({URL}{{27}})",  # Docker
    rf"eyJ({URL}{{10,4000}}\.eyJ{URL}{{10,8000}}\.{URL}{{0,1000}})",  # JSON web token
)
KEY = re.compile(rf"(?<![A-Za-z0-9_])(?:{'|'.join(FORMS)})(?![A-Za-z0-9_+/-])")
PLACEHOLDER = re.compile(r"example|placeholder|x{6}|your|redacted|changeme|\.\.\.|0{8}|1234567890abc", re.IGNORECASE)
LEAST_BITS = 3.0  # a character; 20 random letters and digits have 4.1 on average and nearly never less than 3.5


def find(text: str) -> Iterator[tuple[int, int]]:
    """Spans of the keys and tokens in a text."""
    for match in KEY.finditer(text):
        made = match[match.lastindex or 0]
        if entropy_bits(made) >= LEAST_BITS and not PLACEHOLDER.search(made):
            yield match.span()
