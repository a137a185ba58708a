"""Scores one flower with requests:  requests_client.py URL ROOT_CERTIFICATE KEY_FILE"""

import pathlib
import sys

import requests

url, root, key_file = sys.argv[1:]

with requests.Session() as session:
    session.verify = root
    session.headers["Authorization"] = f"Bearer {pathlib.Path(key_file).read_text().strip()}"
    # A proxy or a .netrc of the environment would change where the key goes.
    session.trust_env = False
    answer = session.post(url, json={"input_data": [[6.7, 3.0, 5.2, 2.3]]}, timeout=10)
    answer.raise_for_status()
    print(answer.json())
