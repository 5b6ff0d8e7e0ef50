// Classify a photograph with an exported model, without Python:
//
//   keras-pvt export pvt_tiny --format onnx --include-preprocessing
//   npm install onnxruntime-node sharp
//   node classify.mjs pvt_tiny.onnx photo.jpg
//
// In a browser, onnxruntime-web has the same interface.
import * as ort from "onnxruntime-node";
import sharp from "sharp";

const [model, photo, side = "224"] = process.argv.slice(2);
if (!photo) {
  console.error("usage: node classify.mjs MODEL.onnx PHOTO [SIDE]");
  process.exit(2);
}
const size = Number(side);
const pixels = await sharp(photo)
  .rotate() // as EXIF says
  .resize(size, size, { fit: "cover" })
  .toColourspace("srgb")
  .removeAlpha()
  .raw()
  .toBuffer(); // RGB, 0..255

const session = await ort.InferenceSession.create(model);
const images = new ort.Tensor("float32", Float32Array.from(pixels), [1, size, size, 3]);
const { predictions } = await session.run({ images });
const best = [...predictions.data]
  .map((probability, index) => ({ probability, index }))
  .sort((a, b) => b.probability - a.probability)
  .slice(0, 5);
for (const { probability, index } of best) {
  console.log(`${index}\t${probability.toFixed(4)}`);
}
