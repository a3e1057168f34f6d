"""A Hugging Face folder with tokenizer, chat template and generation settings, from conversion to an answer."""

import json
import sys
from pathlib import Path

import pytest

pytest.importorskip("tokenizers")
transformers = pytest.importorskip("transformers")
torch = pytest.importorskip("torch")

sys.path.append(str(Path(__file__).parent))

from test_tokenizers import CORPUS, trained  # noqa: E402

import edge_sparse as es  # noqa: E402
from edge_sparse.cli import main  # noqa: E402

MESSAGES = [{"role": "user", "content": "Once upon a time 日本"}]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Save a small random Llama whose tokenizer was trained on the corpus."""
    path = tmp_path_factory.mktemp("llama")
    library = trained(path, "llama3", bos=True, whole_words=True)
    torch.manual_seed(3)
    config = transformers.LlamaConfig(
        hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        vocab_size=library.get_vocab_size() + 5, max_position_embeddings=128, initializer_range=0.3,
        bos_token_id=library.token_to_id("<|begin|>"), eos_token_id=library.token_to_id("<|end|>"),
    )  # fmt: skip
    transformers.LlamaForCausalLM(config).save_pretrained(path)
    ends = [library.token_to_id("<|end|>"), library.token_to_id("<|user|>")]
    (path / "generation_config.json").write_text(json.dumps({"eos_token_id": ends, "do_sample": False}))
    return path


@pytest.fixture(scope="module")
def converted(folder, tmp_path_factory):
    path = tmp_path_factory.mktemp("converted") / "llama.egs"
    assert main(["convert", str(folder), "-o", str(path), "--dtype", "f32", "--chunk", "16"]) == 0
    return path


def test_answers_are_those_of_transformers(folder, converted):
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()
    with es.llm.load(converted, cache="f32") as ours:
        for text in [text for text in CORPUS if text.strip()][:5]:
            inputs = tokenizer(text, return_tensors="pt")
            expected = model.generate(**inputs, max_new_tokens=24, do_sample=False)[0, inputs["input_ids"].shape[1] :]
            answer = ours.generate(text, max_tokens=24)
            tokens = [token for token in expected.tolist() if not ours.codec.ends(token)]
            assert answer.stats.prompt_tokens == inputs["input_ids"].shape[1]
            assert answer.tokens == tokens
            assert answer.text == tokenizer.decode(tokens, skip_special_tokens=True)


def test_conversations_are_those_of_transformers(folder, converted):
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    prompt = tokenizer.apply_chat_template(MESSAGES, tokenize=False, add_generation_prompt=True)
    wanted = tokenizer(prompt, add_special_tokens=False)["input_ids"]
    with es.llm.load(converted, cache="f32") as ours:
        answer = ours.chat(MESSAGES, max_tokens=12)
        assert answer.stats.prompt_tokens == len(wanted)
        assert answer.tokens == ours.generate(wanted, max_tokens=12).tokens
