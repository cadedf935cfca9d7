export const DIRECTIONS = ["upstream", "downstream"] as const;
