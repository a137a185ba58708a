"""Scores one flower with httpx:  httpx_client.py URL ROOT_CERTIFICATE KEY_FILE"""

import pathlib
import ssl
import sys

import httpx

url, root, key_file = sys.argv[1:]

with httpx.Client(
    verify=ssl.create_default_context(cafile=root),
    headers={"Authorization": f"Bearer {pathlib.Path(key_file).read_text().strip()}"},
    # A proxy of the environment would change where the key goes.
    trust_env=False,
) as client:
    body = {
        "input_data": {
            "columns": ["sepal length", "sepal width", "petal length", "petal width"],
            "index": [0],
            "data": [[5.7, 2.8, 4.1, 1.3]],
        }
    }
    answer = client.post(url, json=body, timeout=10)
    answer.raise_for_status()
    print(answer.http_version, answer.json())
