package io.dapr.client;

/** Stands for the real one while the framework is compiled. It goes into no jar. */
public interface DaprClient {}
