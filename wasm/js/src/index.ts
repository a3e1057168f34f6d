// Everything that the package offers.
export { cachedModels, clearModelCache, deleteCachedModel } from "./cache.js";
export type { CachedModel } from "./cache.js";
export { EdgeSparseError } from "./errors.js";
export type { ErrorCode } from "./errors.js";
export { features } from "./features.js";
export type { Features } from "./features.js";
export type { Generation } from "./generation.js";
export type { Picture } from "./images.js";
export type { Progress } from "./loading.js";
export type { WasmSource } from "./modules.js";
export type { InputMap, TensorMap } from "./runner.js";
export { Session } from "./session.js";
export type { SessionOptions } from "./session.js";
export type { ModelSource } from "./sources.js";
export type * from "./types.js";
