/** The parts of a device's page that are loaded when one goes to them: the charts weigh enough. */
import { lazy } from "react";

export const About = lazy(async () => ({ default: (await import("./About")).About }));
export const Batches = lazy(async () => ({ default: (await import("./Batches")).Batches }));
export const Commands = lazy(async () => ({ default: (await import("./Commands")).Commands }));
export const History = lazy(async () => ({ default: (await import("./History")).History }));
