// Frames and strict JSON: bytes into parts, texts into values of known forms.
import { concat, decode, decoder, encode, equal, need, sha, u32, verify } from './primitives.mjs';

// Frames (section 5.1, rule R20)
const HEADER_MAX = 4 * 1024, BODY_MAX = 192 * 1024, SIGNATURE_MAX = 512;
const pathLength = (count, index) => {
  let length = 0;
  for (let size = count; size > 1; size = Math.ceil(size / 2), index >>= 1) if ((index ^ 1) < size) length += 1;
  return length;
};
export const readFrame = (bytes) => {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  let position = 0;
  const take = (length) => {
    need(position + length <= bytes.length, 'frame');
    position += length;
    return bytes.slice(position - length, position);
  };
  const block = (max) => {
    take(4);
    const length = view.getUint32(position - 4);
    need(length <= max, 'frame');
    return take(length);
  };
  const [version, kind] = take(2);
  need(version === 1 && kind <= 2, 'frame');
  const frame = { kind, header: block(HEADER_MAX), body: block(BODY_MAX), path: [] };
  if (kind === 2) {
    take(5);
    Object.assign(frame, { count: view.getUint16(position - 5), index: view.getUint16(position - 3) });
    const length = view.getUint8(position - 1);
    need(frame.count >= 2 && frame.count <= 64 && frame.index < frame.count, 'frame');
    need(length === pathLength(frame.count, frame.index), 'frame');
    for (let i = 0; i < length; i += 1) frame.path.push(take(32));
  }
  frame.signature = kind === 0 ? [] : bytes.slice(position);
  need(kind !== 0 || position === bytes.length, 'frame');
  need(frame.signature.length <= SIGNATURE_MAX, 'frame');
  return frame;
};
const toBeSigned = async (label, { header, body }) => concat(label, [0], await sha(header), await sha(body));
export const digestOf = async (label, frame) => encode(await sha(await toBeSigned(label, frame)));
export const verifyFrame = async (frame, label, key) => {
  const message = await toBeSigned(label, frame);
  if (frame.kind === 0) return false;
  if (frame.kind === 1) return verify(key, message, frame.signature);
  let hash = await sha([0], message);
  let { count: size, index } = frame;
  const siblings = frame.path.values();
  for (; size > 1; size = Math.ceil(size / 2), index >>= 1) {
    if ((index ^ 1) >= size) continue;
    const sibling = siblings.next().value;
    hash = index % 2 ? await sha([1], sibling, hash) : await sha([1], hash, sibling);
  }
  return verify(key, concat('chat-e2e/1 batch', [0], u32(frame.count), hash), frame.signature);
};

// JSON (rule R22)
/** Strict JSON: no key twice, no lone surrogate, integers only, nothing after the value. */
const strictJson = (text) => {
  const token = /\s*([{}[\]:,]|"(?:[^"\\\u0000-\u001f]|\\.)*"|-?\d[\d.eE+-]*|true|false|null)/y;
  const fail = () => { throw new Error('JSON'); };
  const next = () => (token.exec(text) ?? fail())[1];
  const string = (word) => {
    if (word[0] !== '"') fail();
    const value = JSON.parse(word);
    return value.isWellFormed() ? value : fail();
  };
  const list = (end, item) => {
    const back = token.lastIndex;
    if (next() === end) return;
    token.lastIndex = back;
    for (let word = ','; word !== end; word = next()) word === ',' ? item() : fail();
  };
  const value = () => {
    const word = next();
    if (word === '{') {
      const object = new Map();
      list('}', () => {
        const key = string(next());
        if (object.has(key) || next() !== ':') fail();
        object.set(key, value());
      });
      return Object.fromEntries(object);
    }
    if (word === '[') {
      const array = [];
      list(']', () => array.push(value()));
      return array;
    }
    if (word[0] === '"') return string(word);
    if (/^(0|-?[1-9]\d*)$/.test(word)) return Number(word);
    if (['true', 'false', 'null'].includes(word)) return JSON.parse(word);
    return fail();
  };
  const read = value();
  return text.slice(token.lastIndex).trim() === '' ? read : fail();
};

// The forms of values; a `?` behind a key's name says that it may be missing
export const oneOf = (...values) => (value) => values.includes(value);
export const bytesOf = (length) => (text) => decode(text).length === length || length === undefined;
export const integer = (max) => (value) => Number.isInteger(value) && value >= 0 && value <= max;
export const text = (value) => typeof value === 'string';
export const upTo = (max, form) => (value) => all(form)(value) && value.length >= 1 && value.length <= max;
export const all = (form) => (value) => Array.isArray(value) && value.every(form);
export const name = (value) => text(value) && /^[A-Za-z0-9][A-Za-z0-9_.-]{0,31}$/.test(value) && value.toUpperCase() !== 'ALL';
const room = (value) => value === 'ALL' || name(value);
export const conversation = (cid) => {
  const [kind, a, b, ...more] = cid.split(':');
  if (kind === 'dm') return name(a) && name(b) && a < b && more.length === 0;
  return b === undefined && (kind === 'room' ? room(a) : kind === 'feed' && name(a));
};
export const kid = bytesOf(16), digest = bytesOf(32), blob = bytesOf(), one = oneOf(1);
export const U32 = integer(2 ** 32 - 1), U53 = integer(Number.MAX_SAFE_INTEGER);
/** An object of exactly these keys, in their forms; in canonical JSON also in their order. */
export const object = (forms, { ordered = true } = {}) => (value) => {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  const keys = Object.keys(forms).filter((key) => !key.endsWith('?') || key.slice(0, -1) in value);
  const names = keys.map((key) => key.replace('?', ''));
  const found = Object.keys(value);
  return (ordered ? equal(found, names) : equal(found.sort(), [...names].sort()))
    && keys.every((key, index) => forms[key](value[names[index]]));
};
/** Reads canonical JSON: the values, written again, are the same bytes. */
export const canonical = (bytes, form) => {
  const written = decoder.decode(bytes);
  const value = JSON.parse(written);
  if (!form(value) || JSON.stringify(value) !== written) throw new Error('not canonical');
  return value;
};
export const loose = (written, forms) => {
  const value = strictJson(written);
  if (!object(forms, { ordered: false })(value)) throw new Error('not of this form');
  return value;
};
