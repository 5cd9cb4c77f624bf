package org.apache.eventmesh.client.grpc.producer;

/** Stands for the real one while the framework is compiled. It goes into no jar. */
public class EventMeshGrpcProducer {}
