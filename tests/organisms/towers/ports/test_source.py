"""Where models come from: what is wrong with it is one sentence, and a folder never asks the network."""

import json
import sys

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from organisms.towers import CLIPPort, DINOPort, QwenPort, VAEPort
from organisms.towers.ports.source import Source
from tests.organisms.towers.ports.tiny import BYTES, save_clip, save_dino, save_qwen, save_vae

PORTS = {
    "qwen": (save_qwen, lambda folder: QwenPort("port", folder)),
    "dino": (save_dino, lambda folder: DINOPort("port", folder)),
    "text": (save_clip, lambda folder: CLIPPort("port", folder, modality="text")),
    "vision": (save_clip, lambda folder: CLIPPort("port", folder, modality="vision")),
    "vae": (save_vae, lambda folder: VAEPort("port", folder)),
}
every_port = pytest.mark.parametrize("kind", PORTS)


@every_port
def test_a_folder_is_read_without_a_word_a_draw_or_the_network(kind, tmp_path, capfd):
    save, port = PORTS[kind]
    save(tmp_path)
    capfd.readouterr()
    state = torch.get_rng_state()
    assert port(tmp_path).load().is_loaded
    assert capfd.readouterr() == ("", "")
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("path", ["/no/such/folder", "./here", "a/b/c", "~/nowhere/at/all"])
def test_a_folder_that_is_not_there_is_named(path):
    port = QwenPort("port", path)
    with pytest.raises(
        FileNotFoundError, match=f"model_id of port 'port' must be .* there is no folder '{path}'"
    ):
        port.load()
    assert not port.is_loaded


def test_a_path_is_never_a_name_on_the_hub(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    (tmp_path / "models" / "qwen").mkdir(parents=True)
    for model_id in (tmp_path / "models", "models/qwen", "models"):
        assert Source.of("port", model_id, "v1").options() == {"local_files_only": True}
    for model_id in (tmp_path / "qwen", "file"):
        with pytest.raises(FileNotFoundError):
            Source.of("port", model_id)
    assert Source.of("port", "Qwen/Qwen2.5-1.5B-Instruct").options() == {}
    assert Source.of("port", "gpt2", "v1").options() == {"revision": "v1"}


def test_a_name_on_the_hub_is_the_librarys_to_find(monkeypatch):
    asked = []

    def unreachable(name, **options):
        asked.append((name, options))
        raise OSError("We couldn't connect to the hub.\nCheck your connection.")

    monkeypatch.setattr(transformers.AutoConfig, "from_pretrained", unreachable)
    with pytest.raises(
        OSError, match=r"^port 'qwen' cannot read Qwen/Qwen2: We couldn't connect to the hub\.$"
    ):
        QwenPort("qwen", "Qwen/Qwen2", revision="abc").load()
    assert asked == [("Qwen/Qwen2", {"trust_remote_code": False, "revision": "abc"})]


@every_port
def test_without_the_extra_there_is_the_command_that_installs_it(kind, tmp_path, monkeypatch):
    for name in ("transformers", "diffusers"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(
        ModuleNotFoundError,
        match=r"^ports need (transformers|diffusers), which is not installed: pip install 'plasmodia\[ports\]'$",
    ):
        PORTS[kind][1](tmp_path).load()


@pytest.mark.parametrize("saved", ["qwen", "dino", "text", "vae"])
def test_a_model_of_another_kind_is_refused(saved, tmp_path):
    PORTS[saved][0](tmp_path)
    refusal = rf"^port 'port' (reads models of the kinds .*, but|cannot read) {tmp_path}"
    for save, port in PORTS.values():
        if save is not PORTS[saved][0]:
            with pytest.raises((ValueError, OSError), match=refusal):
                port(tmp_path).load()


def test_a_kind_is_told(tmp_path):
    save_clip(tmp_path)
    wanted = rf"reads models of the kinds vit, dinov2, dinov2_with_registers, but {tmp_path} holds a 'clip'"
    with pytest.raises(ValueError, match=wanted):
        DINOPort("port", tmp_path).load()


@every_port
def test_weights_that_are_missing_or_do_not_fit_are_not_drawn(kind, tmp_path):
    save, port = PORTS[kind]
    save(tmp_path)
    file = next(tmp_path.glob("*.safetensors"))
    weights = load_file(file)
    first = next(name for name in sorted(weights) if needed(kind, name))
    state = torch.get_rng_state()
    for changed in ({}, {first: torch.zeros(1, 2, 3, 4, 5)}):
        save_file(
            {name: each for name, each in weights.items() if name != first} | changed, file, {"format": "pt"}
        )
        with pytest.raises(
            ValueError, match=r"^port 'port' needs weights of a \w+ that .* lacks or has in another shape"
        ):
            port(tmp_path).load()
    assert torch.equal(torch.get_rng_state(), state)


def needed(kind, name):
    return name.startswith(
        {"qwen": "model.layers", "text": "text_model", "vision": "vision_model"}.get(kind, "enc")
    )


@every_port
@pytest.mark.parametrize("damage", ["empty", "torn"])
def test_a_folder_that_cannot_be_read_is_named(kind, damage, tmp_path):
    save, port = PORTS[kind]
    if damage == "torn":
        save(tmp_path)
        file = next(tmp_path.glob("*.safetensors"))
        file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(OSError, match=rf"^port 'port' cannot read {tmp_path}: .+$"):
        port(tmp_path).load()


def test_a_tokenizer_is_there_and_that_of_the_model(tmp_path):
    _, words = save_qwen(tmp_path)
    for file in tmp_path.glob("tokenizer*"):
        file.unlink()
    with pytest.raises(ValueError, match=r"finds no words of a tokenizer in .*: save it there too"):
        QwenPort("port", tmp_path).load()
    words.add_tokens([f"<{n}>" for n in range(100)])
    words.save_pretrained(tmp_path)
    count = len(BYTES) + 1 + 100
    with pytest.raises(ValueError, match=f"a tokenizer of {count} tokens in .*, but the model knows 300"):
        QwenPort("port", tmp_path).load()


@pytest.mark.parametrize("kind", ["dino", "vision"])
def test_a_processor_is_there(kind, tmp_path):
    save, port = PORTS[kind]
    save(tmp_path)
    for file in tmp_path.glob("*processor*"):
        file.unlink()
    with pytest.raises(OSError, match=r"cannot read .*: Can't load image processor"):
        port(tmp_path).load()


def test_code_beside_a_model_is_not_run(tmp_path):
    save_qwen(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config |= {"model_type": "own", "auto_map": {"AutoConfig": "code.Config"}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "code.py").write_text("raise SystemExit('it was run')")
    with pytest.raises(OSError, match=r"^port 'port' cannot read "):
        QwenPort("port", tmp_path).load()
