"""What a knowledge graph gives a model beside text: vectors of its entities, and the mentions that they belong to."""
