// Classify a photograph with an exported model, without Python:
//
//   keras-pvt export pvt_tiny --format onnx --include-preprocessing
//   npm install onnxruntime-node sharp
//   node classify.mjs pvt_tiny.onnx photo.jpg
//
// The last two arguments are for models of another size: the side of the crop, and the short side of
// the photograph before it, of pvt_nano 32 32. ../browser does the same in a page.
import * as ort from "onnxruntime-node";
import sharp from "sharp";
import { evalTransform, largest } from "./pixels.mjs";

const [model, photo, side = "224", short] = process.argv.slice(2);
if (!photo) {
  console.error("usage: node classify.mjs MODEL.onnx PHOTO [SIDE [SHORT_SIDE]]");
  process.exit(2);
}
const { data, info } = await sharp(photo)
  .rotate() // as EXIF says
  .toColourspace("srgb")
  .removeAlpha()
  .raw()
  .toBuffer({ resolveWithObject: true }); // RGB, 0..255
const size = Number(side);
const crop = evalTransform({ data, ...info }, size, short && Number(short));

const session = await ort.InferenceSession.create(model);
const images = new ort.Tensor("float32", Float32Array.from(crop.data), [1, size, size, 3]);
const { predictions } = await session.run({ images });
for (const { probability, index } of largest(predictions.data, 5)) {
  console.log(`${index}\t${probability.toFixed(4)}`);
}
