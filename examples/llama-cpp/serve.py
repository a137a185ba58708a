"""Serves a tiny llama model of random weights with llama.cpp: serve.py PORT MODEL-FILE."""
import signal
import sys

import gguf
import numpy
import xllamacpp

WIDTH, HEADS, HIDDEN = 64, 4, 128


def write_model(path):
    """One layer, a vocabulary of bytes and a few words: 0.3 MB."""
    random = numpy.random.default_rng(1)
    words = [f"\u2581{word}".encode() for word in "the a of to and in is it was for".split()]
    tokens = [b"<unk>", b"<s>", b"</s>"] + [b"<0x%02X>" % byte for byte in range(256)] + words
    kind = gguf.TokenType
    kinds = [kind.UNKNOWN, kind.CONTROL, kind.CONTROL] + [kind.BYTE] * 256
    kinds += [kind.NORMAL] * len(words)

    file = gguf.GGUFWriter(path, "llama")
    file.add_context_length(512)
    file.add_embedding_length(WIDTH)
    file.add_block_count(1)
    file.add_feed_forward_length(HIDDEN)
    file.add_head_count(HEADS)
    file.add_head_count_kv(HEADS)
    file.add_layer_norm_rms_eps(1e-5)
    file.add_rope_dimension_count(WIDTH // HEADS)
    file.add_vocab_size(len(tokens))
    file.add_tokenizer_model("llama")
    file.add_token_list(tokens)
    file.add_token_scores([0.0] * len(tokens))
    file.add_token_types(kinds)
    file.add_unk_token_id(0)
    file.add_bos_token_id(1)
    file.add_eos_token_id(2)
    file.add_chat_template("{% for message in messages %}{{ message['content'] }}{% endfor %}")

    def weights(name, *shape):
        file.add_tensor(f"{name}.weight", random.normal(0, 0.1, shape).astype(numpy.float32))

    def ones(name):
        file.add_tensor(f"{name}.weight", numpy.ones(WIDTH, numpy.float32))

    weights("token_embd", len(tokens), WIDTH)
    weights("output", len(tokens), WIDTH)
    ones("output_norm")
    ones("blk.0.attn_norm")
    ones("blk.0.ffn_norm")
    for part in ("attn_q", "attn_k", "attn_v", "attn_output"):
        weights(f"blk.0.{part}", WIDTH, WIDTH)
    weights("blk.0.ffn_gate", HIDDEN, WIDTH)
    weights("blk.0.ffn_up", HIDDEN, WIDTH)
    weights("blk.0.ffn_down", WIDTH, HIDDEN)
    file.write_header_to_file()
    file.write_kv_data_to_file()
    file.write_tensors_to_file()
    file.close()


def main():
    port, path = int(sys.argv[1]), sys.argv[2]
    write_model(path)
    settings = xllamacpp.CommonParams()
    settings.model.path = path
    settings.hostnames = ["127.0.0.1"]
    settings.port = port
    settings.n_ctx = 512
    settings.n_parallel = 1
    settings.warmup = False
    settings.cpuparams.n_threads = 1
    # The server lives as long as the object.
    server = xllamacpp.Server(settings)
    print(server.listening_address, flush=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    signal.pause()


main()
