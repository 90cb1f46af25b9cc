"""Ports of images compute what the library computes, and refuse what is none."""

import numpy as np
import pytest
import torch

from organisms.towers import CLIPPort, DINOPort, VAEPort
from tests.organisms.towers.ports.tiny import picture, save_clip, save_dino, save_vae

PICTURES = [picture(0), picture(1, 64, 36)]


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clip")
    return folder, *save_clip(folder)


@pytest.fixture(scope="module")
def vae(tmp_path_factory):
    folder = tmp_path_factory.mktemp("vae")
    return folder, save_vae(folder, shift=0.1)


@pytest.fixture(scope="module", params=["ViT", "Dinov2", "Dinov2WithRegisters"])
def dino(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    return folder, *save_dino(folder, request.param)


def test_dino_is_the_librarys_forward_pass_pooled(dino):
    folder, model, processor = dino
    with torch.no_grad():
        hidden = model(**processor(images=PICTURES, return_tensors="pt")).last_hidden_state
    patches = hidden[:, -16:]  # of 8 x 8 pixels in 32 x 32, behind class and registers
    wanted = {"cls": hidden[:, 0], "mean": patches.mean(1), "max": patches.max(1).values, None: hidden}
    for pool, output in wanted.items():
        torch.testing.assert_close(DINOPort("dino", folder, pool=pool).load()(PICTURES), output)


def test_clip_is_the_librarys_forward_pass_pooled(clip):
    folder, model, processor, _ = clip
    with torch.no_grad():
        found = model.vision_model(**processor(images=PICTURES, return_tensors="pt"))
        projection = model.visual_projection(found.pooler_output)
    hidden = found.last_hidden_state
    patches = hidden[:, 1:]
    wanted = {"cls": hidden[:, 0], "mean": patches.mean(1), "max": patches.max(1).values, None: hidden}
    for pool, output in (wanted | {"projection": projection}).items():
        port = CLIPPort("clip", folder, modality="vision", pool=pool).load()
        torch.testing.assert_close(port(PICTURES), output)


def test_the_two_halves_of_clip_meet_as_in_the_library(clip):
    folder, model, processor, words = clip
    text, vision = (CLIPPort(each, folder, modality=each).load() for each in ("text", "vision"))
    found = torch.cosine_similarity(vision(PICTURES[0]), text("a cat"), dim=0)
    with torch.no_grad():
        both = model(
            **processor(images=PICTURES[:1], return_tensors="pt"), **words("a cat", return_tensors="pt")
        )
    torch.testing.assert_close(found, (both.logits_per_image / model.logit_scale.exp())[0, 0])
    assert not set(text.model.state_dict()) & set(vision.model.state_dict())


def latents(model, x):
    with torch.no_grad():
        return model.encode(x).latent_dist


def test_a_vae_gives_scaled_means_of_the_posterior(vae):
    folder, model = vae
    image = picture(0, 16, 24)
    x = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None] / 127.5 - 1
    wanted = (latents(model, x).mean - 0.1) * 0.3
    port = VAEPort("vae", folder).load()
    torch.testing.assert_close(port([image]), wanted)
    torch.testing.assert_close(port(x[0]), wanted[0])
    assert wanted.shape == (1, 4, 8, 12)
    for pool, output in {"mean": wanted.mean((2, 3)), "max": wanted.amax((2, 3))}.items():
        torch.testing.assert_close(VAEPort("vae", folder, pool=pool).load()(image), output[0])


def test_a_vae_may_sample_from_a_generator_alone(vae):
    folder, model = vae
    x, state = torch.rand(2, 3, 8, 8), torch.get_rng_state()
    port = VAEPort("vae", folder, generator=torch.Generator().manual_seed(5)).load()
    found = port(x)
    posterior = latents(model, x)
    noise = torch.randn(posterior.mean.shape, generator=torch.Generator().manual_seed(5))
    torch.testing.assert_close(found, (posterior.mean + posterior.std * noise - 0.1) * 0.3)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_vae_scales_pictures_to_one_size_if_it_is_told_which(vae):
    folder, _ = vae
    wanted = r"images of one size, but got \(40, 52\), \(64, 36\): .* size=\(height, width\)"
    with pytest.raises(ValueError, match=wanted):
        VAEPort("vae", folder).load()(PICTURES)
    assert VAEPort("vae", folder, size=(16, 24)).load()(PICTURES).shape == (2, 4, 8, 12)


def test_a_vae_may_be_in_a_subfolder(vae, tmp_path):
    vae[1].save_pretrained(tmp_path / "vae")
    x = torch.rand(3, 8, 8)
    found = VAEPort("vae", tmp_path, subfolder="vae").load()(x)
    assert torch.equal(found, VAEPort("vae", vae[0]).load()(x))


PORTS = {
    "dino": (save_dino, lambda folder: DINOPort("port", folder)),
    "clip": (save_clip, lambda folder: CLIPPort("port", folder, modality="vision")),
    "vae": (save_vae, lambda folder: VAEPort("port", folder)),
}


@pytest.fixture(scope="module", params=PORTS)
def port(request, tmp_path_factory):
    save, made = PORTS[request.param]
    folder = tmp_path_factory.mktemp(request.param)
    save(folder)
    return made(folder).load()


def test_a_picture_may_be_an_array_or_a_tensor(port):
    image = picture()
    array = np.array(image)
    wanted = port(image)
    assert torch.equal(port(array), wanted)
    assert torch.equal(port(torch.from_numpy(array).permute(2, 0, 1)), wanted)
    batch = port([image, image])
    assert torch.equal(port(np.stack([array, array])), batch)
    assert torch.equal(port(image.convert("RGBA")), wanted)
    grey = image.convert("L")
    wanted = port(grey)
    assert torch.equal(port(np.array(grey)), wanted)
    assert torch.equal(port(np.array(grey)[..., None]), wanted)
    assert torch.equal(port(torch.from_numpy(np.array(grey))[None]), wanted)


def test_what_is_prepared_is_taken_as_it_is(port):
    pixels = torch.rand(2, 3, 32, 32)
    found = port(pixels)
    assert torch.equal(port(list(pixels)), found)
    torch.testing.assert_close(port(pixels[0]), found[0])
    output = port.preprocess(pixels.double())
    assert torch.equal(output if isinstance(output, torch.Tensor) else output["pixel_values"], pixels)


@pytest.mark.parametrize(
    ("raw", "error", "message"),
    [
        ("a cat", TypeError, r"port 'port' reads images .* but number 0 is a str"),
        ([picture(), "a cat"], TypeError, r"port 'port' reads images .* but number 1 is a str"),
        (np.zeros((3, 4, 4)), TypeError, "but number 0 is a ndarray of float64"),
        (torch.zeros(3, 4, 4, dtype=torch.int64), TypeError, r"but number 0 is a Tensor of torch\.int64"),
        ([torch.zeros(3, 8, 8), picture()], TypeError, r"but number 0 is a Tensor of torch\.float32"),
        (np.zeros((4, 4, 2), np.uint8), ValueError, r"but number 0 has the shape \[4, 4, 2\]"),
        (np.zeros(4, np.uint8), ValueError, r"but number 0 has the shape \[4\]"),
        ([], ValueError, "at least one image, but the batch is empty"),
        (
            [torch.zeros(3, 8, 8), torch.zeros(3, 8, 4)],
            ValueError,
            r"of one shape, but got \[3, 8, 8\], \[3, 8, 4\]",
        ),
        (torch.zeros(8, 8), ValueError, r"prepared images \[C, H, W\] or a batch of them, but got \[8, 8\]"),
        (torch.zeros(1, 1, 3, 8, 8), ValueError, r"prepared images \[C, H, W\] or a batch of them"),
    ],
)
def test_what_is_no_image_is_refused(port, raw, error, message):
    with pytest.raises(error, match=message):
        port(raw)


def test_a_modality_is_text_or_vision_and_has_its_pools():
    with pytest.raises(ValueError, match="must be text or vision, but is 'visoin'; did you mean 'vision'"):
        CLIPPort("port", "nowhere", modality="visoin")
    for modality, pool in (("text", "cls"), ("vision", "last")):
        with pytest.raises(ValueError, match=f"must not be '{pool}', which modality '{modality}' lacks"):
            CLIPPort("port", "nowhere", modality=modality, pool=pool)
