"""Asks an OpenAI-compatible server with OpenAI's own client, whole and streamed.

    ask.py BASE-URL TRUST-ROOT KEYFILE
"""
import os
import sys

base_url, trust_root, key_file = sys.argv[1:]
os.environ["SSL_CERT_FILE"] = trust_root
import openai  # After SSL_CERT_FILE, which it reads when a client is made.

client = openai.OpenAI(base_url=base_url, api_key=open(key_file).read().strip(), max_retries=0)
question = dict(
    model="tiny", messages=[{"role": "user", "content": "hello"}], max_tokens=16, temperature=0)

whole = client.chat.completions.create(**question)
print("whole    ", repr(whole.choices[0].message.content))
print("tokens   ", whole.usage.completion_tokens)

events = 0
text = ""
stream = client.chat.completions.create(
    **question, stream=True, stream_options={"include_usage": True})
for event in stream:
    events += 1
    for choice in event.choices:
        text += choice.delta.content or ""
    usage = event.usage
print("streamed ", repr(text))
print("events   ", events)
assert events > 2 and usage.completion_tokens == whole.usage.completion_tokens
assert text == whole.choices[0].message.content

wrong = openai.OpenAI(base_url=base_url, api_key="wrong", max_retries=0)
try:
    wrong.chat.completions.create(**question)
    sys.exit("a wrong key was let in")
except openai.AuthenticationError as error:
    print("wrong key", error.status_code)
