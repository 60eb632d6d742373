// A reader of POMT vectors, and the three methods over them:  node vectors.mjs VECTORS OUTPUTS
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";

const range = (from, to) => Array.from({ length: to - from }, (_, i) => from + i);
const sum = (list) => list.reduce((total, each) => total + each, 0);
const wide = { F32: Float32Array, F64: Float64Array }, halves = { F16: [5, 10], BF16: [8, 7] };  // exponent, fraction

function decode(code, [exponent, fraction]) {
  const e = (code >> fraction) & (2 ** exponent - 1), f = (code & (2 ** fraction - 1)) / 2 ** fraction;
  const size = 2 ** (Math.max(e, 1) + 1 - 2 ** (exponent - 1)) * (e ? 1 + f : f);
  return code & 0x8000 ? -size : size;
}
function encode(value, dtype) {  // the bytes of the nearest number: positive codes stand in the order of their numbers
  if (wide[dtype]) return Buffer.from(wide[dtype].of(value).buffer);
  let [low, high] = [0, 0x7fff];
  const at = (code) => decode(code, halves[dtype]), size = Math.abs(value);
  for (let middle; (middle = (low + high) >> 1) > low; ) at(middle) <= size ? (low = middle) : (high = middle);
  return Buffer.from(Uint16Array.of((at(high) - size < size - at(low) ? high : low) | (value < 0 ? 0x8000 : 0)).buffer);
}
function read(path) {  // safetensors: the length of a JSON header, the header, the tensors
  const file = readFileSync(path), start = 8 + Number(file.readBigUInt64LE());
  const header = JSON.parse(file.toString("utf8", 8, start));
  return (name) => {
    const { dtype, data_offsets: [from, to] } = header[name];
    const bytes = Uint8Array.from(file.subarray(start + from, start + to));
    const codes = () => Array.from(new Uint16Array(bytes.buffer), (code) => decode(code, halves[dtype]));
    return { dtype, bytes, values: wide[dtype] ? new wide[dtype](bytes.buffer) : codes() };
  };
}
function scores({ method, prefix, shape: { batch, heads, tokens, features } }, attn, v) {
  const a = (b, i, j) => range(0, heads).map((h) => attn[((b * heads + h) * tokens + i) * tokens + j]);
  const w = (b, k, d) => range(0, heads).map((h) => v[((b * heads + h) * tokens + k) * features + d]);
  const patches = range(prefix, tokens), samples = range(0, batch);
  if (method !== "pomt") return samples.map((b) => patches.map((j) => sum(a(b, 0, j)) / heads));
  const sums = samples.map((b) => patches.map((j) => sum(patches.map((i) => Math.max(...a(b, i, j))))));
  return sums.map((row, b) => {
    const t = range(0, tokens).map((k) => sum(range(0, features).map((d) => Math.max(...w(b, k, d)))));
    const e = t.map((each) => Math.exp(each - Math.max(...t))), total = sum(e), largest = Math.max(...sums.flat());
    return row.map((each, j) => each / largest + e[prefix + j] / total);
  });
}
const [vectors, outputs] = process.argv.slice(2);
mkdirSync(outputs, { recursive: true });
for (const entry of JSON.parse(readFileSync(`${vectors}/manifest.json`)).cases) {
  const { file, method, prefix, keep, shape: { batch, tokens, channels } } = entry;
  const tensor = read(`${vectors}/${file}`), x = tensor("x"), size = x.bytes.length / batch / tokens;
  const samples = scores(entry, tensor("attn").values, tensor("v").values).map((s, b) => {
    const order = range(prefix, tokens).sort((i, j) => s[j - prefix] - s[i - prefix]), left = order.slice(keep);
    const rows = [...range(0, prefix), ...order.slice(0, keep)].map((k) => (b * tokens + k) * size);
    const weight = (k) => (method === "pomt" ? 1 / left.length : s[k - prefix]);
    const last = (c) => encode(sum(left.map((k) => weight(k) * x.values[(b * tokens + k) * channels + c])), x.dtype);
    const copies = rows.map((at) => x.bytes.subarray(at, at + size));
    return Buffer.concat(method === "topk" ? copies : [...copies, ...range(0, channels).map(last)]);
  });
  const data = Buffer.concat(samples), shape = [batch, data.length / size / batch, channels];
  const header = Buffer.from(JSON.stringify({ tokens: { dtype: x.dtype, shape, data_offsets: [0, data.length] } }));
  const length = Buffer.from(BigUint64Array.of(BigInt(header.length)).buffer);
  writeFileSync(`${outputs}/${file}`, Buffer.concat([length, header, data]));
}
