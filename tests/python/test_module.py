"""The module, on drawn digits and the models that come along: no files, no network.

    python -m unittest discover tests/python        # with the package and its library on PYTHONPATH, or installed
"""

import base64
import html
import importlib.util
import json
import multiprocessing
import os
import pickle
import re
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import warnings
import zlib
from pathlib import Path

import numpy as np
import settings as types_of_settings

import riposte

ROOT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, "-m", "riposte"]


def digits(count=6):
    return riposte.dataset("digits", images=count)


def load():
    return riposte.load("digits-robust", device="cpu")


class Presets(unittest.TestCase):
    def test_each_has_a_line_and_is_what_attacks_and_defenses_take(self):
        presets = riposte.presets()
        self.assertIn("m-mnist", presets)
        for name, about in presets.items():
            self.assertRegex(about, r"\w+ \w+", name)
        model, (images, labels) = load(), digits(1)
        for name in riposte.presets("digits"):
            model.attack(images, labels, preset=name, steps=1, step_size=0.3)
        self.assertEqual(sorted({*riposte.presets("mnist"), *riposte.presets("cifar10")}), sorted(presets))
        with self.assertRaisesRegex(ValueError, "cifar10, digits, mnist"):
            riposte.presets("imagenet")


class Models(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.model = load()
        cls.images, cls.labels = digits()

    def test_one_image_is_answered_as_among_others(self):
        together = self.model(self.images)
        alone = np.stack([self.model(image) for image in self.images])
        # Sums of another order, over some thousand terms.
        np.testing.assert_allclose(together, alone, atol=1e-4)
        self.assertEqual((together.shape, together.dtype), ((6, 10), np.float32))
        self.assertEqual(self.model.predict(self.images).tolist(), self.labels.tolist())

    def test_more_images_than_a_batch_come_back_in_their_order(self):
        images, _ = digits(300)
        parts = np.concatenate([self.model(images[start : start + 50]) for start in range(0, 300, 50)])
        np.testing.assert_allclose(self.model(images), parts, atol=1e-4)

    def test_gradients_are_the_slopes_of_the_losses(self):
        rng = np.random.default_rng(0)
        # Away from 0 and 1, where a step would leave the range; the logits are piecewise linear in the pixels, and a small step seldom meets an edge.
        images = np.clip(self.images, 0.05, 0.95)
        direction = rng.standard_normal(images.shape).astype(np.float32)
        vectors = rng.standard_normal((6, 10)).astype(np.float32)

        def slope(value, size=2e-4):
            return (value(images + size * direction) - value(images - size * direction)) / (2 * size)

        def loss(points):
            logits = self.model(points).astype(np.float64)
            rows = np.arange(6)
            return np.log(np.exp(logits).sum(axis=1)) - logits[rows, self.labels]

        def product(points):
            return (self.model(points).astype(np.float64) * vectors).sum(axis=1)

        for gradient, value in [(self.model.input_gradient(images, self.labels), loss), (self.model.vjp(images, vectors), product)]:
            found = (gradient.astype(np.float64) * direction).sum(axis=(1, 2, 3))
            expected = slope(value)
            # Roundings of f32 logits over 4e-4, and the edges in between.
            np.testing.assert_allclose(found, expected, rtol=0.02, atol=0.02)

    def test_a_target_is_approached(self):
        gradient = self.model.input_gradient(self.images, [3] * 6, targeted=True)
        away = self.model.input_gradient(self.images, [3] * 6)
        np.testing.assert_array_equal(gradient, -away)

    def test_every_attack_stays_in_the_ball_and_in_the_range(self):
        for attack in ["pgd", "fgsm", "apgd", "apgd-t", "fab-t", "square", "auto"]:
            few = {"steps": 5} if attack not in ["fgsm", "square", "auto"] else {}
            few = {"queries": 20} if attack in ["square", "auto"] else few
            if attack == "auto":
                few["steps"] = 3
            with self.subTest(attack), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                attacked, details = self.model.attack(self.images, self.labels, attack=attack, epsilon=0.3, details=True, **few)
                # One rounding of x + epsilon below 2.
                self.assertLessEqual(np.abs(attacked - self.images).max(), 0.3 + 1.2e-7)
                self.assertTrue(attacked.min() >= 0 and attacked.max() <= 1)
                np.testing.assert_allclose(details.logits, self.model(attacked), atol=1e-4)
                self.assertEqual((len(details.fooled_by), len(details.doubts)), (6, 6))
                # The same for a file of 8 bits.
                attacked, details = self.model.attack(
                    self.images, self.labels, attack=attack, epsilon=0.299, quantize="8", details=True, **few
                )
                levels = np.round(attacked * 255)
                np.testing.assert_array_equal(attacked, (levels / 255).astype(np.float32))
                self.assertLessEqual(np.abs(levels - np.round(self.images * 255)).max(), 76)
                np.testing.assert_allclose(details.logits, self.model(attacked), atol=1e-4)
        with self.assertRaisesRegex(ValueError, "multiples of 1/255"):
            self.model.attack(np.full((1, 28, 28), 0.1234, np.float32), [3], quantize="8")
        far = self.model.attack(self.images, self.labels, attack="deepfool")
        self.assertGreater((self.model.predict(far) != self.labels).mean(), 0.5)

    def test_an_image_is_attacked_as_the_command_line_attacks_it(self):
        with tempfile.TemporaryDirectory() as folder:
            file = os.path.join(folder, "attacked.npz")
            flags = ["--model", "digits-robust", "--device", "cpu", "--riposte", "none", "--first", "3", "--images", "5", "--start", "uniform"]
            subprocess.run([*COMMAND, "eval", *flags, "--export", file], check=True, stdout=subprocess.DEVNULL)
            exported = np.load(file)["attacked"]
        images, labels = riposte.dataset("digits", first=3, images=5)
        attacked = self.model.attack(images, labels, start="uniform", first=3)
        # A sign may flip where a gradient is a rounding from 0, and the path may part from there.
        self.assertGreater((np.abs(attacked - exported) < 1e-5).mean(), 0.99)

    def test_what_follows_from_a_seed_follows_again(self):
        attack = lambda **other: self.model.attack(self.images, self.labels, start="uniform", **other)
        np.testing.assert_array_equal(attack(seed=1), attack(seed=1))
        self.assertTrue((attack(seed=1) != attack(seed=2)).any())
        later = self.model.attack(self.images[2:], self.labels[2:], start="uniform", seed=1, first=2)
        self.assertGreater((np.abs(later - attack(seed=1)[2:]) < 1e-5).mean(), 0.99)

    def test_a_model_tells_what_it_is(self):
        self.assertEqual((self.model.name, self.model.dataset, self.model.shape), ("digits-robust", "digits", (1, 28, 28)))
        self.assertEqual(self.model.card["id"], "digits-robust")
        self.assertIn("fast-mnist-cnn" if "fast" in self.model.architecture else self.model.architecture, repr(self.model))
        self.assertIn("digits-robust", [card["id"] for card in riposte.models()])
        self.assertEqual(self.model.device, "cpu")
        self.assertTrue(any(device == "cpu" for device, _, _ in riposte.devices()))

    def test_a_model_pickles_and_another_process_computes_the_same(self):
        copy = pickle.loads(pickle.dumps(self.model))
        np.testing.assert_array_equal(copy(self.images), self.model(self.images))
        self.assertEqual((copy.sha256, repr(copy)), (self.model.sha256, repr(self.model)))
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            np.testing.assert_array_equal(pool.apply(copy, (self.images,)), self.model(self.images))

    def test_weights_come_from_files_as_on_the_command_line(self):
        file = ROOT / "static/models/digits-robust.safetensors"
        self.assertEqual(riposte.load(file, device="cpu").name, "digits-robust.safetensors")
        with tempfile.TemporaryDirectory() as folder:
            alone = Path(folder) / "alone.safetensors"
            alone.write_bytes(file.read_bytes())
            with self.assertWarnsRegex(UserWarning, "alone.safetensors"):
                model = riposte.load(alone, architecture=self.model.architecture, device="cpu")
            np.testing.assert_array_equal(model(self.images), self.model(self.images))
            broken = Path(folder) / "broken.pth"
            broken.write_text("<!DOCTYPE html>")
            with self.assertRaisesRegex(ValueError, "web page"):
                riposte.load(broken)
        with self.assertRaisesRegex(FileNotFoundError, "digits-robust"):
            riposte.load("no-such-model")
        with self.assertRaisesRegex(ValueError, "--device"):
            riposte.load(device="abacus")


class Defenses(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.model = load()
        cls.images, cls.labels = digits()
        cls.few = {"post_samples": 1000, "post_iterations": 3, "post_batch_size": 8}
        cls.defense = cls.model.riposte("m-mnist", **cls.few)

    def test_an_answer_tells_what_was_seen(self):
        answer = self.defense.answer(self.images[0], label=7)
        self.assertTrue(answer.riposted)
        self.assertEqual((answer.original, answer.race.shape, answer.losses.shape), (int(self.labels[0]), (4, 10), (3,)))
        np.testing.assert_allclose(answer.race[0], self.model(self.images[0]), atol=1e-4)
        np.testing.assert_allclose(answer.race[-1], answer.logits, atol=1e-5)
        np.testing.assert_allclose(answer.adapted(self.images[0]), answer.logits, atol=1e-4)
        self.assertEqual(self.model.predict(answer.neighbor_image), answer.neighbor)
        self.assertAlmostEqual(answer.probabilities.sum(), 1, places=5)
        self.assertEqual(len(answer.samples), 8)
        record = answer.record
        self.assertEqual((record["label"], record["original"], record["neighbor"]), (7, answer.original, answer.neighbor))
        self.assertEqual((record["answer"]["class"], len(record["race"]), len(record["losses"])), (answer.prediction, 4, 3))
        self.assertEqual(record["riposte"], self.defense.settings)

    def test_images_are_answered_together_as_one_by_one(self):
        alone = np.stack([self.defense.answer(image, first=number).logits for number, image in enumerate(self.images)])
        np.testing.assert_allclose(self.defense(self.images), alone, atol=1e-3)
        neighbors = self.model.neighbors(self.images, preset="m-mnist")
        found = [self.defense.answer(image, first=number).neighbor for number, image in enumerate(self.images)]
        self.assertEqual(neighbors.neighbor.tolist(), found)
        self.assertEqual(self.model.neighbors(self.images[0], preset="m-mnist").neighbor, found[0])

    def test_a_defense_answers_as_an_evaluation_says(self):
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "results.jsonl"
            report = riposte.evaluate(self.model, images=6, preset="m-mnist", out=out, attack="none", **self.few)
            records = [json.loads(line) for line in out.read_text().splitlines()[1:]]
        answers = [record["riposte_natural"]["answer"] for record in records]
        self.assertEqual(self.defense.predict(self.images).tolist(), answers)
        self.assertEqual(report["riposte_natural_correct"], sum(np.array(answers) == self.labels))

    def test_samples_of_ones_own_are_adapted_on(self):
        samples, classes = riposte.dataset("digits", "train", images=1000)
        levels = np.round(samples * 255).astype(np.uint8)
        settings = {name: value for name, value in self.few.items() if name != "post_samples"}
        own = self.model.riposte("m-mnist", data=(levels, classes), **settings)
        np.testing.assert_array_equal(own(self.images), self.defense(self.images))
        with self.assertRaisesRegex(TypeError, "uint8"):
            self.model.riposte("m-mnist", data=(samples, classes))
        for more in [{"bank": "nowhere"}, {"dataset": "mnist"}, {"post_samples": 10}]:
            with self.subTest(more), self.assertRaisesRegex(ValueError, "contradicts `data`"):
                self.model.riposte("m-mnist", data=(levels, classes), **more)

    def test_what_a_defense_cannot_use_is_refused(self):
        for given, words in [({"post_samples": 0}, "at least 1"), ({"bank_copy": "mean"}, "belongs to a `bank`")]:
            with self.subTest(words), self.assertRaisesRegex(ValueError, words):
                self.model.riposte("m-mnist", **given)
        with self.assertRaisesRegex(ValueError, "from 0 to 9"):
            self.defense.answer(self.images[0], label=10)
        with self.assertRaisesRegex(RuntimeError, "diverged"):
            self.model.riposte("m-mnist", **{**self.few, "post_learning_rate": 1e6})(self.images)

    def test_the_base_model_stays_as_it_is(self):
        before = self.model(self.images)
        self.defense(self.images)
        np.testing.assert_array_equal(self.model(self.images), before)


class Evaluations(unittest.TestCase):
    arguments = {"images": 4, "preset": "m-mnist", "natural": False, "post_samples": 500, "post_iterations": 2, "post_batch_size": 8}
    flags = ["--preset", "m-mnist", "--natural", "off", "--post-samples", "500", "--post-iterations", "2", "--post-batch-size", "8"]

    def test_module_and_command_go_on_with_the_results_of_each_other(self):
        with tempfile.TemporaryDirectory() as folder:
            out = os.path.join(folder, "results.jsonl")
            riposte.evaluate(load(), out=out, **self.arguments)
            command = [*COMMAND, "eval", *self.flags, "--device", "cpu", "--model", "digits-robust", "--out", out]
            subprocess.run([*command, "--images", "6"], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            report = riposte.evaluate("digits-robust", device="cpu", out=out, **{**self.arguments, "images": 8})
            self.assertEqual((report["images"], report["images_computed"]), (8, 2))
            inputs = [json.loads(line).get("input") for line in Path(out).read_text().splitlines()]
            self.assertEqual(inputs, [None, *range(8)])
            with self.assertRaisesRegex(ValueError, "other settings"):
                riposte.evaluate(load(), out=out, **{**self.arguments, "post_iterations": 3})

    def test_a_switch_is_on_or_off_and_a_model_is_one(self):
        off = riposte.evaluate(load(), post_nesterov=False, **self.arguments)
        on = riposte.evaluate(load(), post_nesterov=True, **self.arguments)
        self.assertEqual([report["settings"]["riposte"]["nesterov"] for report in (off, on)], [False, True])
        for other in [Path("fast.pth"), 3, load().riposte("m-mnist", post_samples=500)]:
            with self.subTest(other), self.assertRaisesRegex(TypeError, "riposte.load"):
                riposte.evaluate(other, images=1)
        with self.assertRaisesRegex(ValueError, "`seed` is at least 0"):
            riposte.evaluate(load(), images=1, seed=-1)

    def test_a_loaded_model_is_not_read_otherwise(self):
        for more in [{"weights": "nowhere.pth"}, {"architecture": "madry-mnist-cnn"}, {"device": "cpu"}]:
            with self.subTest(more), self.assertRaisesRegex(ValueError, "riposte.load"):
                riposte.evaluate(load(), images=1, **more)

    def test_a_copy_that_has_adapted_is_not_evaluated_as_its_model(self):
        images, _ = digits(1)
        adapted = load().riposte("m-mnist", post_samples=500, post_iterations=1, post_batch_size=8).answer(images[0]).adapted
        self.assertIn("copy of", repr(adapted))
        with self.assertRaisesRegex(ValueError, "adapted"):
            riposte.evaluate(adapted, images=1)


class Duels(unittest.TestCase):
    few = {"preset": "m-mnist", "post_samples": 1000, "post_iterations": 3, "post_batch_size": 8}

    def test_a_duel_is_that_of_the_command_and_shows_its_report(self):
        duel = riposte.duel(load(), index=3, **self.few)
        flags = ["--preset=m-mnist", "--post-samples=1000", "--post-iterations=3", "--post-batch-size=8", "--model=digits-robust", "--index=3"]
        command = [*COMMAND, "duel", *flags, "--device=cpu", "--out=none", "--json", "--images"]
        expected = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout)
        for varying in ["seconds", "command"]:
            del expected[varying]
            duel.record.pop(varying)
        # Threads share out the sums of the loss of a batch otherwise.
        self.assertEqual(duel.record["attacked"]["class"], expected["attacked"]["class"])
        np.testing.assert_allclose(duel.record["race"], expected["race"], atol=1e-3)
        same = ["dataset", "index", "label", "model", "attack", "riposte", "outcome", "original", "neighbor", "verdict"]
        self.assertEqual({name: duel.record[name] for name in same}, {name: expected[name] for name in same})
        self.assertIn(duel.verdict.split(":")[0], duel.report)
        self.assertTrue(duel._repr_html_().startswith("<iframe") and "<script" not in duel.report)

    def test_a_duel_is_fought_again_from_its_record(self):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "duel.json"
            first = riposte.duel("digits-robust", index=3, seed=4, device="cpu", **self.few)
            path.write_text(json.dumps({**first.record, "seconds": 0}))
            again = riposte.duel(replay=path, device="cpu")
        self.assertEqual((again.record["seed"], again.verdict), (4, first.verdict))
        np.testing.assert_allclose(again.record["race"], first.record["race"], atol=1e-3)

    def test_a_duel_without_what_it_needs_is_refused(self):
        with self.assertRaisesRegex(ValueError, "attack by PGD"):
            riposte.duel("digits-robust", attack="square", **self.few)
        with self.assertRaisesRegex(ValueError, "cannot be used with"):
            riposte.duel("digits-robust", index=1, pick="fooled", **self.few)


class Pictures(unittest.TestCase):
    def test_an_image_is_shown_in_its_own_gray_levels(self):
        images, labels = digits(2)
        shown = riposte.show(images, captions=labels)._repr_html_()
        files = [base64.b64decode(data) for data in re.findall(r"data:image/png;base64,([^\"]+)", shown)]
        self.assertEqual(len(files), 2)
        for file, image in zip(files, images):
            self.assertEqual(struct.unpack(">II", file[16:24]), (28, 28))
            start = file.index(b"IDAT") + 4
            (length,) = struct.unpack(">I", file[start - 8 : start - 4])
            rows = np.frombuffer(zlib.decompress(file[start : start + length]), dtype=np.uint8).reshape(28, 29)
            np.testing.assert_array_equal(rows[:, 1:], np.round(image[0] * 255))
        color = np.zeros((3, 2, 5), dtype=np.float32)
        self.assertIn("image/png", riposte.show(color).html)
        with self.assertRaisesRegex(ValueError, "captions"):
            riposte.show(images, captions=["one"])

    def test_an_answer_is_shown_with_its_race(self):
        images, _ = digits(1)
        defense = load().riposte("m-mnist", post_samples=1000, post_iterations=3, post_batch_size=8)
        shown = riposte.show(defense.answer(images[0])).html
        self.assertEqual(shown.count("<polyline"), 2)
        self.assertNotIn("<script", shown)


class Experiments(unittest.TestCase):
    """The element in its frame, with a page that stands for the built one."""

    page_with = (
        '<!doctype html><html><head><meta name="riposte-datasets" content="{}"></head><body><main>'
        '<riposte-arena from-address><p class="static">words</p></riposte-arena></main></body></html>'
    )

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.page = Path(folder.name) / "element.html"
        self.page.write_text(self.page_with.format("digits"), encoding="utf-8")

    def begins(self, shown):
        """The attributes of the element in a frame."""
        document = html.unescape(re.search(r'srcdoc="([^"]*)"', shown.html)[1])
        tag = re.search(r"<riposte-arena([^>]*)>", document)[1]
        return {name: html.unescape(value) for name, value in re.findall(r' ([\w-]+)="([^"]*)"', tag)}

    def test_a_duel_is_shown_as_the_experiment_at_the_same_run_above_a_still_picture_of_it(self):
        duel = riposte.duel(load(), index=3, seed=5, epsilon=0.25, **Duels.few)
        shown = riposte.show(duel, page=self.page, height=700, acts="12")
        begins = self.begins(shown)
        self.assertEqual(begins["image"], "test:3")
        expected = {"dataset": "digits", "model": "digits-robust", "seed": "5", "epsilon": "0.25", "post-iterations": "3", "hash": "off", "acts": "12"}
        self.assertEqual({name: begins[name] for name in expected}, expected)
        before, frame = shown.html.split("<iframe")
        self.assertEqual(before.count("data:image/png;base64,"), 3, "the image, the attacked one, the neighbor")
        self.assertIn(html.escape(duel.verdict), before)
        self.assertIn("min-height: 700px", before)
        # A page's record names the page, and its element may have a name there.
        named = {**duel.record, "link": "https://example.org/#weak.dataset=digits&weak.image=test%3A9&other.image=test%3A1"}
        self.assertEqual(self.begins(riposte.show(named, page=self.page)), {"hash": "off", "dataset": "digits", "image": "test:9"})

    def test_an_image_is_under_attack_in_its_own_gray_levels(self):
        images, _ = digits(1)
        begins = self.begins(riposte.show(images[0], dataset="digits", page=self.page, post_iterations=4))
        self.assertEqual((begins["dataset"], begins["post-iterations"]), ("digits", "4"))
        levels = base64.urlsafe_b64decode(begins["image"].removeprefix("px:") + "==")
        np.testing.assert_array_equal(np.frombuffer(levels, dtype=np.uint8), np.round(images[0] * 255).ravel())

    def test_a_run_that_the_element_has_no_images_of_is_a_still_picture(self):
        record = riposte.duel(load(), index=3, **Duels.few).record
        shown = riposte.show({**record, "dataset": "mnist"}, page=self.page).html
        self.assertNotIn("<iframe", shown)
        self.assertEqual(shown.count("data:image/png;base64,"), 3)

    def test_what_the_element_cannot_show_is_refused_with_what_to_do(self):
        images, _ = digits(2)
        for error, words, arguments in [
            (ValueError, "cargo xtask element --dataset mnist", {"dataset": "mnist"}),
            (ValueError, "one image, not 2", {"what": images, "dataset": "digits"}),
            (TypeError, "without captions", {"what": images[0], "dataset": "digits", "captions": ["one"]}),
        ]:
            with self.subTest(words), self.assertRaisesRegex(error, words):
                riposte.show(**arguments, page=self.page)
        with self.assertRaisesRegex(TypeError, "epsilon"):
            riposte.show(images, epsilon=0.1)
        with self.assertRaisesRegex(FileNotFoundError, "cargo xtask element"):
            riposte.show(page=self.page.with_name("none.html"))
        self.page.write_text("<p>Something else</p>", encoding="utf-8")
        with self.assertRaisesRegex(ValueError, "is no element"):
            riposte.show(page=self.page)

    def test_a_widget_begins_with_the_same_or_says_what_it_needs(self):
        if importlib.util.find_spec("anywidget") is None:
            with self.assertRaisesRegex(ImportError, "riposte-cli\\[widget\\]"):
                riposte.widget(dataset="digits", page=self.page)
            return
        widget = riposte.widget(dataset="digits", page=self.page, acts="1")
        self.assertIn('acts="1"', widget._page)
        self.assertIsNone(widget.record)
        self.assertEqual(riposte.widget(page=self.page, height=300)._height, 300)


class Arrays(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.model = load()
        cls.images, cls.labels = digits(2)

    def test_images_that_are_none_are_refused_with_what_to_do(self):
        levels = (self.images * 255).astype(np.uint8)
        for images, error, words in [
            (levels, TypeError, "astype"),
            (levels.astype(np.float32), ValueError, "divide gray levels by 255"),
            (self.images * 2 - 1, ValueError, "normalization"),
            (np.full_like(self.images, np.nan), ValueError, "finite"),
            (self.images.transpose(0, 2, 3, 1), ValueError, "transpose"),
            (self.images[:, 0], ValueError, "reshape"),
            (self.images[..., :20], ValueError, r"\(images, 1, 28, 28\)"),
            (self.images[:0], ValueError, "no image"),
        ]:
            with self.subTest(words), self.assertRaisesRegex(error, words):
                self.model(images)

    def test_vectors_are_rows_of_their_images(self):
        vectors = np.ones((2, 10), np.float32)
        self.assertEqual(self.model.vjp(self.images, vectors).shape, self.images.shape)
        self.assertEqual(self.model.vjp(self.images[0], vectors[0]).shape, self.images[0].shape)
        for wrong in [vectors.T, vectors.ravel(), vectors[:1]]:
            with self.subTest(wrong.shape), self.assertRaisesRegex(ValueError, "as many vectors"):
                self.model.vjp(self.images, wrong)

    def test_labels_that_do_not_fit_are_refused(self):
        for labels, error, words in [
            ([1], ValueError, "as many labels"),
            ([0.5, 1.0], TypeError, "whole numbers"),
            ([1, 10], ValueError, "0 to 9"),
            ([1, -1], ValueError, "from 0 on"),
        ]:
            with self.subTest(words), self.assertRaisesRegex(error, words):
                self.model.attack(self.images, labels)

    def test_arrays_of_other_libraries_are_taken(self):
        class Foreign:
            def __init__(self, array):
                self.array = array

            def __dlpack__(self, **arguments):
                return self.array.__dlpack__(**arguments)

            def __dlpack_device__(self):
                return self.array.__dlpack_device__()

        class Speaking:
            def __init__(self, array):
                self.array = array

            def __array__(self, dtype=None, copy=None):
                return self.array

        expected = self.model(self.images)
        for images in [Foreign(self.images.copy()), Speaking(self.images), self.images.astype(np.float64), self.images.tolist(), self.images[:, :, ::-1][:, :, ::-1]]:
            with self.subTest(type(images)):
                np.testing.assert_array_equal(self.model(images), expected)

    def test_what_comes_back_can_be_written_to(self):
        attacked = self.model.attack(self.images, self.labels, steps=1, step_size=0.3)
        attacked += 0.0
        self.assertEqual(attacked.shape, self.images.shape)


class Settings(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.model = load()
        cls.images, cls.labels = digits(2)

    def test_settings_that_are_none_are_refused_in_the_words_of_the_command_line(self):
        for settings, words in [
            ({"epsilon": 8}, "write 8/255"),
            ({"epsilonn": 0.3}, "no setting `epsilonn`"),
            ({"loss": "hinge"}, "cross-entropy"),
            ({"attack": "fgsm", "steps": 20}, "contradicts"),
            ({"attack": "none"}, "`attack` is none"),
            ({"post_iterations": 3}, "Model.riposte"),
            ({"preset": "f-cifar"}, "cifar10"),
            ({"preset": "f-cifra"}, "f-cifar"),
        ]:
            with self.subTest(words), self.assertRaisesRegex(ValueError, words):
                self.model.attack(self.images, self.labels, **settings)
        with self.assertRaisesRegex(ValueError, "Model.attack"):
            self.model.riposte(epsilon=0.3)
        with self.assertRaisesRegex(ValueError, "riposte` is none"):
            self.model.riposte(riposte="none", post_samples=10)
        with self.assertRaisesRegex(ValueError, "digits, mnist, cifar10"):
            riposte.dataset("imagenet")

    def test_what_is_hardly_meant_is_a_warning(self):
        with self.assertWarnsRegex(UserWarning, "lead 0.02"):
            self.model.attack(self.images, self.labels, steps=2, start="zero")

    def test_numbers_and_words_mean_the_same(self):
        attack = lambda epsilon: self.model.attack(self.images, self.labels, epsilon=epsilon, step_size=0.1)
        np.testing.assert_array_equal(attack("8/255"), attack(8 / 255))
        np.testing.assert_array_equal(attack("0.3"), attack(np.float32(0.3)))

    def test_the_types_and_docstrings_are_those_of_the_settings(self):
        written = Path(riposte.__file__).with_name("_settings.py").read_text()
        self.assertEqual(written.strip(), types_of_settings.text().strip(), "run tests/python/settings.py")
        for function, name in [(riposte.Model.attack, "step_size"), (riposte.Model.riposte, "post_iterations"), (riposte.duel, "counter")]:
            self.assertIn(f"\n        {name} : ", function.__doc__)


class Waiting(unittest.TestCase):
    def long(self, **arguments):
        """A computation of minutes."""
        model = load()
        images, labels = digits(64)
        model.attack(images, labels, attack="pgd", steps=100_000, stop="never", **arguments)

    def test_ctrl_c_ends_a_computation_within_a_step(self):
        threading.Timer(0.7, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
        begin = time.monotonic()
        with self.assertRaises(KeyboardInterrupt):
            self.long()
        # A step takes some hundredths of a second on an idle machine.
        self.assertLess(time.monotonic() - begin, 10)

    def test_an_error_of_the_bar_ends_a_computation(self):
        def bar(done, total):
            raise LookupError(f"{done} of {total}")

        with self.assertRaisesRegex(LookupError, "of 100001"):
            self.long(progress=bar)

    def test_other_threads_go_on_and_share_a_model(self):
        model = load()
        images, labels = digits(32)
        expected = model.attack(images, labels)
        found, counted = [], 0
        threads = [threading.Thread(target=lambda: found.append(model.attack(images, labels))) for _ in range(3)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            counted += 1
            time.sleep(0.001)
        self.assertGreater(counted, 10)
        for attacked in found:
            np.testing.assert_array_equal(attacked, expected)
        self.assertEqual(len(found), 3)

    def test_a_function_is_told_of_progress(self):
        seen = []
        model = load()
        images, labels = digits(4)
        model.attack(images, labels, steps=7, step_size=0.1, restarts=2, progress=lambda *at: seen.append(at))
        self.assertEqual(seen[-1], (16, 16))
        self.assertEqual(seen, sorted(seen))

    @unittest.skipUnless(hasattr(os, "fork"), "a system without fork")
    def test_a_forked_process_is_told_that_it_cannot_compute(self):
        model = load()
        images, _ = digits(1)
        model(images)
        reader, writer = os.pipe()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            child = os.fork()
        if child == 0:
            try:
                model(images)
            except RuntimeError as error:
                os.write(writer, str(error).encode())
            os._exit(0)
        os.close(writer)
        with os.fdopen(reader) as said:
            self.assertIn("spawn", said.read())
        os.waitpid(child, 0)


class TheCommand(unittest.TestCase):
    def test_it_is_the_programs(self):
        version = subprocess.run([*COMMAND, "--version"], check=True, stdout=subprocess.PIPE, text=True).stdout
        self.assertEqual(version.split(), ["riposte", riposte.__version__])
        wrong = subprocess.run([*COMMAND, "eval", "--nonsense"], stderr=subprocess.PIPE, text=True)
        self.assertEqual(wrong.returncode, 2)
        self.assertIn("Usage: riposte eval", wrong.stderr)
        failed = subprocess.run([*COMMAND, "eval", "--model", "nonsense"], stderr=subprocess.PIPE, text=True)
        self.assertEqual((failed.returncode, failed.stderr.startswith("riposte: ")), (1, True))

    def test_it_does_without_numpy(self):
        program = "import sys; sys.modules['numpy'] = None; sys.argv = ['riposte', '--version']; from riposte._command import main; main()"
        subprocess.run([sys.executable, "-c", program], check=True, stdout=subprocess.DEVNULL)

    @unittest.skipIf(os.name == "nt", "a system without SIGINT")
    def test_ctrl_c_ends_it_with_what_is_finished(self):
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "results.jsonl"
            flags = ["--device", "cpu", "--images", "10000", "--out", out, "--batch", "4"]
            process = subprocess.Popen([*COMMAND, "eval", *flags], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
            while not out.exists() or out.read_bytes().count(b"\n") < 3:
                time.sleep(0.05)
                self.assertIsNone(process.poll())
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=60)
            self.assertEqual(process.returncode, 130)
            self.assertIn(b"the same command goes on", said)


if __name__ == "__main__":
    unittest.main()
