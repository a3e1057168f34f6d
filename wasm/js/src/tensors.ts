// Element types, and the checks of arrays that callers pass.
import { EdgeSparseError } from "./errors.js";
import type { DType, Port, Tensor, TensorData } from "./types.js";

type ArrayType = new (buffer: ArrayBuffer) => TensorData;

interface ElementType {
  readonly name: DType;
  readonly bytes: number;
  readonly array: ArrayType;
}

/** By the numbers of es_dtype. */
const TYPES: readonly (ElementType | undefined)[] = [
  undefined,
  { name: "float32", bytes: 4, array: Float32Array },
  { name: "float16", bytes: 2, array: Uint16Array },
  { name: "int8", bytes: 1, array: Int8Array },
  { name: "uint8", bytes: 1, array: Uint8Array },
  { name: "int32", bytes: 4, array: Int32Array },
];

export function dtypeOf(number: number): DType {
  return TYPES[number]!.name;
}

/** The number that the core has for a type, 0 for none. */
export function numberOf(dtype: DType | undefined): number {
  return dtype === undefined ? 0 : TYPES.findIndex((type) => type?.name === dtype);
}

export function elementType(dtype: DType): ElementType {
  return TYPES[numberOf(dtype)]!;
}

function describe(shape: readonly number[]): string {
  return `(${shape.join(", ")})`;
}

/** The lengths as they lie in memory; `rows` in place of the most that there may be. */
export function memoryShape({ shape, nhwc, symbolic }: Port, rows?: number): number[] {
  const [first, ...rest] = nhwc ? [shape[0]!, shape[2]!, shape[3]!, shape[1]!] : shape;
  return first === undefined ? [] : [symbolic && rows !== undefined ? rows : first, ...rest];
}

function fits(port: Port, shape: readonly number[]): boolean {
  const wanted = memoryShape(port);
  return (
    shape.length === wanted.length &&
    shape.every((length, axis) =>
      axis === 0 && port.symbolic ? length >= 1 && length <= wanted[0]! : length === wanted[axis],
    )
  );
}

function shapeOf(port: Port, data: TensorData): number[] {
  const row = memoryShape(port).slice(1).reduce((product, length) => product * length, 1);
  return memoryShape(port, data.length / row);
}

function isTensor(given: Tensor | TensorData): given is Tensor {
  return !ArrayBuffer.isView(given);
}

/** An input as a tensor whose type, shape and length are right. */
export function inputOf(port: Port, given: Tensor | TensorData | undefined): Tensor {
  if (given === undefined || given === null) {
    throw new EdgeSparseError("INPUT_MISSING", `input "${port.name}" is missing`, "pass an array for every input of info.inputs");
  }
  const data = isTensor(given) ? given.data : given;
  const wanted = elementType(port.dtype);
  if (!(data instanceof wanted.array)) {
    const hint = `pass a ${wanted.array.name}`;
    throw new EdgeSparseError("INPUT_DTYPE", `input "${port.name}" takes elements of ${port.dtype}`, hint);
  }
  const shape = isTensor(given) ? given.shape : shapeOf(port, data);
  if (!Array.isArray(shape)) throw new EdgeSparseError("INPUT_SHAPE", `input "${port.name}" has no shape`, "pass {data, shape} or the array alone");
  const count = shape.reduce((product, length) => product * length, 1);
  if (fits(port, shape) && count === data.length) return { data, shape, dtype: port.dtype };
  const most = port.symbolic ? " (the first length is the most)" : "";
  const message = `input "${port.name}" has ${data.length} elements of shape ${describe(shape)}, not ${describe(memoryShape(port))}${most}`;
  throw new EdgeSparseError("INPUT_SHAPE", message, "see info.inputs for the shapes");
}

/** All inputs in the order of the ports; names that the network has not are refused. */
export function checkInputs(ports: readonly Port[], inputs: Record<string, Tensor | TensorData>): Tensor[] {
  if (typeof inputs !== "object" || inputs === null) {
    throw new EdgeSparseError("INPUT_MISSING", "inputs are no object", 'pass {"name of the input": array}');
  }
  const names = ports.map((port) => port.name);
  const unknown = Object.keys(inputs).find((name) => !names.includes(name));
  if (unknown !== undefined) {
    throw new EdgeSparseError("INPUT_UNKNOWN", `there is no input "${unknown}"`, `the inputs are ${names.join(", ")}`);
  }
  return ports.map((port) => inputOf(port, inputs[port.name]));
}
