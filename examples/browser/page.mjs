// The page: an image in, classes or boxes out. build.py puts it, the models and onnxruntime-web into
// one file. What an artifact takes and gives is in docs/export.md.
import * as ort from "onnxruntime-web";
import * as pixels from "pixels";

const MOST_PIXELS = 50e6; // of an image: as a canvas it is 200 MB
const TOP = 5; // classes of an image
const WIDEST = 1280; // pixels of a picture that is shown
const { runtime, models } = JSON.parse(document.getElementById("assets").textContent);

const at = (id) => document.getElementById(id);
const sessions = new Map(); // by model, promises of its network
const shown = { model: models[0], threshold: 0, own: null, found: null };
let latest = 0; // of the images that were asked for; what comes of others is not shown

/** The bytes of something that build.py has put into the page, in base64 of gzip. */
async function unpacked(id) {
  const packed = Uint8Array.from(atob(at(id).textContent.trim()), (one) => one.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

function session(model) {
  if (!sessions.has(model)) {
    sessions.set(model, unpacked(model.file).then((bytes) => ort.InferenceSession.create(bytes)));
  }
  return sessions.get(model);
}

/** An image file as RGB, upright as EXIF says, without regard to a colour profile: as Pillow. */
async function read(file) {
  let bitmap;
  try {
    const how = { imageOrientation: "from-image", colorSpaceConversion: "none" };
    bitmap = await createImageBitmap(file, how);
  } catch {
    throw new Error(`${file.name} cannot be read as an image by this browser.`);
  }
  const { width, height } = bitmap;
  if (width * height > MOST_PIXELS) {
    throw new Error(
      `${file.name} has ${width} x ${height} pixels; ${MOST_PIXELS / 1e6} million are the most ` +
        "that this page takes. Make it smaller.",
    );
  }
  const canvas = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  canvas.drawImage(bitmap, 0, 0);
  return { bitmap, image: pixels.withoutAlpha(canvas.getImageData(0, 0, width, height)) };
}

async function run(model, { data, width, height }) {
  const network = await session(model);
  const numbers = model.pixels ? Float32Array.from(data) : pixels.normalised(data);
  return network.run({ images: new ort.Tensor("float32", numbers, [1, height, width, 3]) });
}

const TASKS = {
  classification: {
    threshold: 0,
    async find(model, image) {
      const [side] = model.size;
      const crop = pixels.evalTransform(image, side, model.resize);
      const start = performance.now();
      const { predictions } = await run(model, crop);
      const scores = model.logits ? pixels.softmax(predictions.data) : predictions.data;
      const network = performance.now() - start;
      const best = pixels.largest(scores, TOP);
      const found = best.map(({ index, probability }) => ({ label: index, score: probability }));
      const { left, top, width, height } = pixels.cropPlace(image, side, model.resize);
      const [x, y] = [image.width / width, image.height / height];
      return { found, network, crop: [left * x, top * y, side * x, side * y] };
    },
    said: ({ classes }, found) => (found.length ? `${classes[found[0].label]}` : ""),
  },
  detection: {
    threshold: 0.5,
    async find(model, image) {
      const { canvas, target } = pixels.letterbox(image, ...model.size, model.antialias);
      const start = performance.now();
      const { boxes, confidence, classes, num_detections } = await run(model, canvas);
      const network = performance.now() - start;
      const found = Array.from({ length: Number(num_detections.data[0]) }, (_, n) => ({
        label: Number(classes.data[n]),
        score: confidence.data[n],
        box: pixels.boxBack(boxes.data.slice(4 * n, 4 * n + 4), image, target),
      }));
      return { found, network };
    },
    said({ classes }, found) {
      const counts = classes.map((name, n) => [name, found.filter((one) => one.label === n).length]);
      return counts.filter(([, count]) => count).map(([name, count]) => `${count} ${name}`).join(", ");
    },
  },
};

/** Ask the model what is in an image file, and show it. */
async function look(file) {
  const [own, { model }] = [++latest, shown];
  at("answer").setAttribute("aria-busy", "true");
  at("error").hidden = true;
  at("status").textContent = `${file.name} is being looked at.`;
  await new Promise((resume) => setTimeout(resume)); // so that the line appears first
  try {
    await session(model);
    const start = performance.now();
    const { bitmap, image } = await read(file);
    const answer = await TASKS[model.task].find(model, image);
    answer.whole = performance.now() - start;
    if (own === latest) shown.found = { ...answer, bitmap, name: file.name };
  } catch (error) {
    if (own === latest) wrong(error);
  }
  if (own === latest) show();
}

function wrong(error) {
  shown.found = null;
  at("error").textContent = error.message;
  at("error").hidden = false;
  at("status").textContent = "";
}

/** What was found, as far as the threshold lets it. */
function show() {
  const { model, found: answer, threshold } = shown;
  const found = (answer?.found ?? []).filter(({ score }) => score >= threshold);
  at("threshold").value = threshold;
  at("threshold-shown").textContent = percent(threshold, 0);
  at("figure").hidden = !answer;
  at("found").replaceChildren(...found.map((one) => row(model, one)));
  at("time").textContent = "";
  if (answer) {
    const best = answer.found[0];
    const none = best ? `; the best is ${model.classes[best.label]}, ${percent(best.score)}` : "";
    at("status").textContent =
      TASKS[model.task].said(model, found) || `nothing above ${percent(threshold, 0)}${none}`;
    const { width, height } = answer.bitmap;
    at("caption").textContent = `${answer.name}, ${width} x ${height} pixels`;
    at("picture").setAttribute("aria-label", `${answer.name}: ${at("status").textContent}`);
    draw(answer, found, model);
    at("time").textContent =
      `${model.name}: ${answer.whole.toFixed(0)} ms, of which the network took ` +
      `${answer.network.toFixed(0)} ms`;
  }
  at("answer").setAttribute("aria-busy", "false");
}

function row(model, { label, score, box }) {
  const item = document.createElement("li");
  const name = document.createElement("span");
  if (box) {
    const colour = document.createElement("i");
    colour.style.background = model.colours[label];
    name.append(colour);
    item.dataset.box = box.join(" ");
  }
  name.append(model.classes[label]);
  const value = document.createElement("data");
  value.value = score;
  value.textContent = percent(score);
  item.style.setProperty("--share", percent(score));
  item.append(name, value);
  return item;
}

function draw({ bitmap, crop }, found, model) {
  const scale = Math.min(1, WIDEST / Math.max(bitmap.width, bitmap.height));
  const picture = at("picture");
  picture.width = Math.round(bitmap.width * scale);
  picture.height = Math.round(bitmap.height * scale);
  const canvas = picture.getContext("2d");
  canvas.drawImage(bitmap, 0, 0, picture.width, picture.height);
  // Lines and letters have a size on the screen, which shows large pictures smaller.
  const onScreen = picture.clientWidth || picture.width;
  const unit = (picture.width / onScreen) * Math.min(2, Math.max(1.6, onScreen / 320));
  canvas.lineWidth = unit;
  if (crop) {
    // What the model does not see lies in shadow.
    const [left, top, width, height] = crop.map((side) => side * scale);
    const shadow = new Path2D();
    shadow.rect(0, 0, picture.width, picture.height);
    shadow.rect(left, top, width, height);
    canvas.fillStyle = "#0008";
    canvas.fill(shadow, "evenodd");
  }
  canvas.font = `${6 * unit}px system-ui, sans-serif`;
  canvas.textBaseline = "top";
  const boxes = found.filter(({ box }) => box).reverse(); // the surest lies on top
  const placed = boxes.map((one) => ({ ...one, box: one.box.map((side) => side * scale) }));
  for (const { label, box } of placed) {
    const [left, top, right, bottom] = box;
    canvas.strokeStyle = model.colours[label];
    canvas.strokeRect(left, top, right - left, bottom - top);
  }
  for (const { label, score, box } of placed) {
    const [left, top] = box;
    const text = `${model.classes[label]} ${percent(score, 0)}`;
    canvas.fillStyle = model.colours[label];
    canvas.fillRect(left, top, canvas.measureText(text).width + 3 * unit, 7.5 * unit);
    canvas.fillStyle = model.inks[label];
    canvas.fillText(text, left + 1.5 * unit, top + unit);
  }
}

const percent = (share, digits = 1) => `${(100 * share).toFixed(digits)}%`;

function choose(model) {
  shown.model = model;
  shown.threshold = TASKS[model.task].threshold;
  at("samples").replaceChildren(...model.samples.map(sample));
}

function sample({ name, url }) {
  const button = document.createElement("button");
  const picture = document.createElement("img");
  button.type = "button";
  button.setAttribute("aria-pressed", "false");
  [picture.src, picture.alt] = [url, name];
  button.append(picture);
  button.addEventListener("click", () => {
    const bytes = Uint8Array.from(atob(url.split(",")[1]), (one) => one.charCodeAt(0));
    given(new File([bytes], name), button);
  });
  return button;
}

function given(file, button) {
  shown.own = button ? null : file;
  for (const one of at("samples").children) one.setAttribute("aria-pressed", `${one === button}`);
  return look(file);
}

function radio(model, n) {
  const label = document.createElement("label");
  const input = document.createElement("input");
  const classes = document.createElement("small");
  const some = model.classes.slice(0, 3).join(", ");
  classes.textContent = model.classes.length > 3 ? `${model.classes.length} classes: ${some}, …` : some;
  Object.assign(input, { type: "radio", name: "model", checked: n === 0 });
  input.addEventListener("change", () => {
    choose(model);
    if (shown.own) given(shown.own);
    else at("samples").firstElementChild?.click();
  });
  label.append(input, model.name, " ", classes);
  return label;
}

at("models").append(...models.map(radio));
at("threshold").addEventListener("input", (event) => {
  shown.threshold = event.target.valueAsNumber;
  show();
});
at("file").addEventListener("change", ({ target }) => {
  if (target.files.length) given(target.files[0]);
  target.value = ""; // the same file may be chosen again
});
for (const kind of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    document.body.classList.toggle("over", kind === "dragover");
    if (kind !== "drop") return;
    const [file] = event.dataTransfer.files;
    if (file) {
      given(file);
    } else {
      wrong(new Error("That was no file: save the image first, and drop its file."));
      show();
    }
  });
}

choose(models[0]);
try {
  ort.env.wasm.numThreads = 1; // more need headers that only a server sends
  ort.env.wasm.wasmBinary = await unpacked(runtime);
  at("status").textContent = "";
  at("answer").setAttribute("aria-busy", "false");
  at("samples").firstElementChild?.click();
} catch (error) {
  wrong(error);
  show();
}
